"""What a build, a package or a tuning came to, as one page that a person sees through at a glance.

`subject` reads, `sections` and `pictures` say and draw, `page` and `markdown` write it down.
"""
