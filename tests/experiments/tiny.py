"""Options that make a toy row a matter of seconds."""

TINY = (
    "trainer=cpu",
    "data.num_train=16",
    "data.num_val=6",
    "data.image_size=64",
    "data.batch_size=4",
    "schedule.max_epochs=1",
    "schedule.scheduler.milestones=[1]",
    "schedule.scheduler.warmup_steps=2",
    "callbacks.pictures=null",
)
