std = "lua54"
max_line_length = 100
-- Variables that are there to be closed at the end of their block.
ignore = { "211/guard%d*" }
exclude_files = { "build*", ".luarocks" }
files["spec/**/*_spec.lua"].std = "+busted"
files["**/*.d.lua"].unused_args = false
files["rockspec/*.rockspec"].std = "rockspec"
-- Scripts find dualdb loaded when the executable runs them.
files["scripts/demo/*.lua"].read_globals = { "dualdb" }
