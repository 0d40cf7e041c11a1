"""Steps runs. Pure: no ORM, no channel layer, no settings; all of that comes in through `ports`."""
