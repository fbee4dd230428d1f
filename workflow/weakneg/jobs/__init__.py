"""Where a job runs: devices, scratch disks and clusters."""
