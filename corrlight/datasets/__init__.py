"""Data of users: brought into the layout that ``data=coco_custom`` reads."""
