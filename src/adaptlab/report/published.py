"""The published results, marked as such, for a page that did not make them itself."""

from collections.abc import Collection

from IPython.display import Markdown

from adaptlab import records
from adaptlab.errors import AdaptlabError
from adaptlab.records import Record
from adaptlab.report import tables


def summary(
    profile: str, notebook: str, experiment: str, metric: str | None = None
) -> list[Record]:
    """One published record a method: over all its seeds where it has several.

    metric: which, of an experiment that was scored by several.
    Raises AdaptlabError if nothing was published.
    """
    found = [r for r in records.published(profile, notebook) if r.experiment == experiment]
    found = [r for r in found if metric in (None, r.metric)]
    over_seeds = {_what(record) for record in found if record.seed is None}
    return [r for r in found if r.seed is None or _what(r) not in over_seeds]


def _what(record: Record) -> tuple[str, str, str]:
    return record.task, record.method, record.metric


def comparison(
    profile: str,
    notebook: str,
    experiment: str,
    metric: str | None = None,
    without: Collection[str] = (),
) -> Markdown:
    """The published table and its caption, for a notebook; or a line that there is none.

    without: methods that the page shows elsewhere.
    Raises AdaptlabError if nothing else was published of the experiment.
    """
    file = records.published_file(profile, notebook)
    if not file.exists():
        return Markdown(f"*No {profile} run of {notebook} has been published yet.*")
    found = summary(profile, notebook, experiment, metric)
    found = [record for record in found if record.method not in without]
    if not found:
        raise AdaptlabError(f"{file} has no records of the experiment {experiment!r}")
    return tables.show(found, f"Published `{profile}` run, not made by this page.")


def across(profile: str, notebook: str, experiment: str) -> Markdown:
    """The published table of methods by tasks, for a notebook; or a line that there is none."""
    if not records.published_file(profile, notebook).exists():
        return Markdown(f"*No {profile} run of {notebook} has been published yet.*")
    by_task: dict[str, list[Record]] = {}
    for record in summary(profile, notebook, experiment):
        by_task.setdefault(record.task, []).append(record)
    lead = f"**Published `{profile}` run, not made by this page.**"
    return Markdown(f"{tables.across(by_task).data}\n\n{lead}")
