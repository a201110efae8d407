"""The store against the simplest model of itself, through any order of installing, choosing and removing."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_runtime.errors import StoreError
from edge_runtime.store import Store
from tests.unit.conftest import write_readable_bundle

VERSIONS = ("1", "2", "3")
versions = st.sampled_from(VERSIONS)


class StoreMachine(RuleBasedStateMachine):
    """`there`: version → sha256 of what must be installed. `used`, `before`: versions, as a choice must have them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.files = {
            version: write_readable_bundle(Path(self.folder.name) / f"{version}.onnx", version=version)
            for version in VERSIONS
        }
        self.store = Store(Path(self.folder.name) / "state")
        self.there: dict[str, str] = {}
        self.used: str | None = None
        self.before: str | None = None

    @rule(version=versions)
    def install(self, version: str) -> None:
        self.there[version] = self.store.install(self.files[version], lambda _: None).sha256

    @rule(version=versions)
    def use(self, version: str) -> None:
        if version not in self.there:
            return
        self.store.choose(self.there[version], None, beside="part.onnx")
        if version != self.used:
            self.used, self.before = version, self.used

    @precondition(lambda self: self.before is not None)
    @rule()
    def roll_back(self) -> None:
        assert self.before is not None
        self.use(self.before)

    @precondition(lambda self: self.used is not None)
    @rule(version=versions)
    def refuse(self, version: str) -> None:
        """A choice that the line refuses leaves everything as it was."""
        if version not in self.there:
            return
        old = self.store.choice()
        self.store.choose(self.there[version], None, beside="part.onnx")
        refused = self.store.choice()
        assert refused is not None
        self.store.put_back(refused, old)

    @precondition(lambda self: self.there)
    @rule(version=versions)
    def remove(self, version: str) -> None:
        entry = self.store.entry(self.there.get(version, ""))
        if entry is None:
            return
        try:
            self.store.remove(entry)
        except StoreError:
            assert version in (self.used, self.before)
        else:
            assert version not in (self.used, self.before)
            del self.there[version]

    @rule()
    def restart(self) -> None:
        self.store = Store(Path(self.folder.name) / "state")

    @invariant()
    def what_is_installed_and_chosen_is_what_the_model_has(self) -> None:
        assert {entry.version: entry.sha256 for entry in self.store.installed()} == self.there
        choice = self.store.choice()
        found = (choice.sha256, choice.before) if choice else (None, None)
        assert found == (self.there.get(self.used or ""), self.there.get(self.before or ""))

    @invariant()
    def what_is_chosen_can_be_loaded(self) -> None:
        if choice := self.store.choice():
            assert self.store.load(choice.sha256).sha256 == choice.sha256

    def teardown(self) -> None:
        self.folder.cleanup()


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)  # each step waits for the disk
