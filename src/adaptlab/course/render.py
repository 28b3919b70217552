"""One executed notebook as one HTML page, through nbconvert and the template beside this file."""

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from adaptlab.course import fragments, typeset, versions
from adaptlab.course.masters import tags
from adaptlab.errors import AdaptlabError

HERE = Path(__file__).parent


def page(executed: NotebookNode, form: str, profile: str, master: Path) -> str:
    """The page of an `executed` notebook; `form` says which version it is ("solved").

    Images that its Markdown names are looked for beside the `master`. Raises AdaptlabError,
    naming the notebook, for a formula that cannot be typeset.
    """
    run = executed.metadata.get("papermill", {})
    notebook = versions.with_parameters(executed, run.get("parameters", {}))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = fragments.quiet(cell.outputs)
    facts = {
        "title": _title(notebook) or master.stem,
        "form": form,
        "profile": profile,
        "date": _day(run.get("end_time")),
        "highlighting": HtmlFormatter(style="xcode").get_style_defs(".highlight"),
    }
    try:
        html, _ = _exporter(master.parent).from_notebook_node(notebook, {"handout": facts})
    except AdaptlabError as error:
        raise AdaptlabError(f"{master.name}: {error}") from error
    return html


def _title(notebook: NotebookNode) -> str | None:
    """The notebook's first heading."""
    for cell in notebook.cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
            if line.startswith("# "):
                return line.removeprefix("# ").strip()
    return None


def _day(moment: str | None) -> str | None:
    """The day of an ISO time, as one writes it: "4 March 2026"."""
    if not moment:
        return None
    time = datetime.fromisoformat(moment)
    return f"{time.day} {time:%B %Y}"


def _exporter(folder: Path) -> HTMLExporter:
    @pass_context
    def markdown(context: Context, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        return fragments.standing_alone(typeset.markdown(source, folder, attachments))

    filters: dict[str, Any] = {
        "markdown2html": markdown,
        "latex2html": typeset.latex,
        "standing_alone": fragments.standing_alone,
        "tags": tags,
    }
    return HTMLExporter(
        template_name="template", extra_template_basedirs=[str(HERE)], filters=filters
    )
