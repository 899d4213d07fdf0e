"""The stages in which the pocket family is trained, each resumable, on top of `modules.training`."""
