"""Token mixers: one file each, all called as `mixer(x_T_D, layout)`, all checked by one conformance suite."""
