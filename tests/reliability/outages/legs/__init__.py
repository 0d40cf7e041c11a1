"""One module for each leg: `leg(servers, short)`."""
