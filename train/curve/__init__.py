"""`kenpin-train curve`: how well a data set is judged with fewer of its pictures, and so how many are enough."""
