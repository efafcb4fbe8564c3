"""What is wrong with detections: types of errors, what each costs, classes that are confused."""
