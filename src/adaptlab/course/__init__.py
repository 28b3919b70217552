"""The course itself: notebooks are run, checked, turned into versions and into handouts.

This file stays empty of imports: a notebook that imports `course.check` must not load papermill.
"""
