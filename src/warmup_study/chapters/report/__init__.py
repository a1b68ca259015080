"""The notebook `report`."""
