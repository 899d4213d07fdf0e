"""Part of the place for extensions: bringing one in from a repository, fetching it again, taking it out, undoing."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from modules.contracts.errors import StudioError
from modules.contracts.installing import NOT_UNKNOWN, Change, Source
from modules.support.studio import Studio
from modules.ui.given import owner_of

DONE = {"install": "installed", "update": "updated", "remove": "removed", "rollback": "put back"}


class InstallPlace:
    """For admins who have signed in; nobody else is shown anything of it, and calls are refused with a sentence."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def build(self, chosen: Any, quiet: dict[str, Any]) -> tuple[Any, Any]:
        """Make it in the current layout; gives the group, and what tells that something changed.

        `chosen` is the input with the name of an extension.
        """
        with gr.Group(visible=False, elem_id="extensions_install") as place:
            with gr.Row():
                address = gr.Textbox(
                    "", label="Git repository", placeholder="https://", elem_id="extensions_address", min_width=0
                )
                commit = gr.Textbox("", label="Commit, branch or tag", elem_id="extensions_commit", min_width=0)
            with gr.Row():
                look = gr.Button("Look", size="sm", min_width=0)
                bring = gr.Button("Install", size="sm", min_width=0)
                update = gr.Button("Update", size="sm", min_width=0)
                remove = gr.Button("Remove", size="sm", min_width=0)
                undo = gr.Button("Undo", size="sm", min_width=0)
            told = gr.HTML("", elem_id="extensions_told", js_on_load=None, apply_default_css=False)
        look.click(self.look, [address, commit], [told, commit], **quiet)
        bring.click(self.install, [address, commit], told, **quiet)
        update.click(self.update, chosen, told, **quiet)
        remove.click(self.remove, chosen, told, **quiet)
        undo.click(self.undo, None, told, **quiet)
        return place, told

    def may(self, request: gr.Request) -> bool:
        """Whether who asks is an admin who has shown who they are; those whom nobody asks are not."""
        if self._studio.door.open:
            return False
        user = self._studio.accounts.user(owner_of(request))
        return user is None or user.role == "admin"

    def look(self, address: str, commit: str, request: gr.Request) -> list[Any]:
        """What an install would change, and the commit that it would take, so that `install` takes the same."""
        change = self._do(request, lambda: self._studio.installer.install(_source(address, commit), dry_run=True))
        return [_words(change), change.commit]

    def install(self, address: str, commit: str, request: gr.Request) -> str:
        """Bring it in."""
        return _words(self._do(request, lambda: self._studio.installer.install(_source(address, commit))))

    def update(self, name: str | None, request: gr.Request) -> str:
        """Fetch the chosen one again."""
        return _words(self._do(request, lambda: self._studio.installer.update(name or "")))

    def remove(self, name: str | None, request: gr.Request) -> str:
        """Take the chosen one out."""
        return _words(self._do(request, lambda: self._studio.installer.remove(name or "")))

    def undo(self, request: gr.Request) -> str:
        """Undo the newest change."""
        return _words(self._do(request, self._studio.installer.rollback))

    def _do(self, request: gr.Request, act: Any) -> Change:
        if not self.may(request):
            raise gr.Error(NOT_UNKNOWN, print_exception=False)
        try:
            change: Change = act()
        except StudioError as error:
            raise gr.Error(error.message, print_exception=False) from error
        return change


def _source(address: str, commit: str) -> Source:
    return Source(address=address.strip(), commit=commit.strip())


def _words(change: Change) -> str:
    """What is different, as HTML."""
    done = DONE[change.action]
    first = f"{change.name}: {done if change.done else f'would be {done}'}."
    if change.files:
        first += f" {change.files} files, {change.bytes / 2**20:.1f} MiB."
    lines = [first]
    lines += [f"{one.name}: {one.before or 'none'} → {one.after or 'none'}" for one in change.packages]
    if change.runs:
        lines.append(f"Carried out by themselves: {', '.join(change.runs)}.")
    return "".join(f"<p>{html.escape(line)}</p>" for line in (*lines, *change.notes))
