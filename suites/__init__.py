"""Named suites, one TOML file each."""
