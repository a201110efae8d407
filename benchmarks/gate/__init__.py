"""What the picture-quality gate refuses of real pictures and of broken ones, and what a frame costs."""
