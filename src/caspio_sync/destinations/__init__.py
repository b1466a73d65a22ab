"""The systems that take rows, a folder each; named in `registry.DESTINATIONS`, imported where a sync names one."""
