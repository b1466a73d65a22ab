"""HTTP as every vendor needs it: bounded bodies, masked texts, which answers count."""
