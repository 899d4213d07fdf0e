"""Part of the place for extensions: bringing one in from a repository, fetching it again, taking it out, undoing."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import gradio as gr

from modules.contracts.errors import StudioError
from modules.contracts.installing import NOT_UNKNOWN, Change, Source
from modules.support.studio import Studio
from modules.ui.archives import Archives
from modules.ui.elements import given_archive
from modules.ui.given import owner_of, page_of, said_by

Done = TypeVar("Done")

NOTHING = ("", "", "")
"""Address, what was wanted of it, and commit, before anything was looked at."""
DONE = {"install": "installed", "update": "updated", "remove": "removed", "rollback": "put back"}


class InstallPlace:
    """For admins who have signed in; nobody else is shown anything of it, and calls are refused with a sentence."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.archives = Archives()

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
                name = gr.Textbox("", label="Name, if another", elem_id="extensions_name", min_width=0)
            archive = given_archive("extensions_archive")
            with gr.Row():
                look = gr.Button("Look", size="sm", min_width=0)
                bring = gr.Button("Install", size="sm", min_width=0)
                update = gr.Button("Update", size="sm", min_width=0)
                remove = gr.Button("Remove", size="sm", min_width=0)
                undo = gr.Button("Undo", size="sm", min_width=0)
            told = gr.HTML("", elem_id="extensions_told", js_on_load=None, apply_default_css=False)
            looked = gr.State(NOTHING)
        archive.piece(self.take, None, archive, **quiet, trigger_mode="multiple")
        archive.clear_archive(self.drop, None, archive, **quiet)
        look.click(self.look, [address, commit, name], [told, looked], **quiet)
        bring.click(self.install, [address, commit, name, looked], [told, archive], **quiet)
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

    def look(self, address: str, commit: str, name: str, request: gr.Request) -> list[Any]:
        """What an install would change, and of what with which commit, so that `install` takes the same."""
        change = self._do(
            request, lambda: self._studio.installer.install(self._source(address, commit, name, request), dry_run=True)
        )
        return [_words(change), (address.strip(), commit.strip(), change.commit)]

    def install(self, address: str, commit: str, name: str, looked: Any, request: gr.Request) -> list[Any]:
        """Bring it in: of what was looked at the commit that was seen, and updates follow the branch.

        A zip file that was brought in is forgotten; one that could not be stays for another try.
        """

        def bring() -> list[Any]:
            source = self._source(address, commit, name, request)
            if source.address and tuple(looked)[:2] == (source.address, source.commit) and looked[2]:
                source = replace(source, commit=looked[2], follow=source.commit)
            told = _words(self._studio.installer.install(source))
            return [told, self.archives.drop(page_of(request)) if source.archive else gr.skip()]

        return self._do(request, bring)

    def take(self, event: gr.EventData, request: gr.Request) -> Any:
        """A piece of a zip file."""
        said = said_by(event)
        return self._do(request, lambda: self.archives.take(page_of(request), said))

    def drop(self, request: gr.Request) -> Any:
        """The zip file is not wanted any more."""
        return self._do(request, lambda: self.archives.drop(page_of(request)))

    def _source(self, address: str, commit: str, name: str, request: gr.Request) -> Source:
        """The repository that was written down, or else the zip file."""
        if address.strip():
            return Source(address=address.strip(), commit=commit.strip(), name=name.strip())
        return Source(archive=self.archives.get(page_of(request)), name=name.strip())

    def update(self, name: str | None, request: gr.Request) -> str:
        """Fetch the chosen one again."""
        return _words(self._do(request, lambda: self._studio.installer.update(name or "")))

    def remove(self, name: str | None, request: gr.Request) -> str:
        """Take the chosen one out."""
        return _words(self._do(request, lambda: self._studio.installer.remove(name or "")))

    def undo(self, request: gr.Request) -> str:
        """Undo the newest change."""
        return _words(self._do(request, self._studio.installer.rollback))

    def _do(self, request: gr.Request, act: Callable[[], Done]) -> Done:
        if not self.may(request):
            raise gr.Error(NOT_UNKNOWN, print_exception=False)
        try:
            return act()
        except StudioError as error:
            raise gr.Error(error.message, print_exception=False) from error


def _words(change: Change) -> str:
    """What is different, as HTML."""
    done = DONE[change.action]
    first = f"{change.name}: {done if change.done else f'would be {done}'}."
    if change.files:
        first += f" {change.files} files, {change.bytes / 2**20:.1f} MiB."
    lines = [first, *([f"Commit {change.commit}."] if change.commit else [])]
    lines += [f"{one.name}: {one.before or 'none'} → {one.after or 'none'}" for one in change.packages]
    if change.runs:
        lines.append(f"Carried out by themselves: {', '.join(change.runs)}.")
    return "".join(f"<p>{html.escape(line)}</p>" for line in (*lines, *change.notes))
