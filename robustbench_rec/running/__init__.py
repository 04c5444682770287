"""Running a suite: the plan, the workers, the trainings and the trials."""
