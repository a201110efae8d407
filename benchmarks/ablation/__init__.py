"""What each lever of the method gives: the same trainings with one of them taken away."""
