"""The page of a study: the answer, and what it rests on, in one file that any browser opens."""
