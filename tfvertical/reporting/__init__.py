"""A report as a page, as Markdown, in a terminal; its plots."""
