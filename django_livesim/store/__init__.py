"""Every statement that changes rows: leases of workers, journals of runs, intake of the gateway."""
