"""Running what is asked: the plan, the workers, the trainings and the trials."""
