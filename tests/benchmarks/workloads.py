"""The workloads W1 to W6, who takes part in them, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contenders import CORES, Copy, HashCopy, NbVersion, OneOpenSsl, OpenSsl, WarmKernel
from material import FILE_BYTES, LargeFiles, ManyFiles
from processes import say
from rounds import Round, play_steps, prepared, try_verifications

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from contenders import Contender
    from material import Material
    from processes import Bench
    from rivals import Rival

LARGE_VERIFIED = 4
TREE = frozenset({"W2", "W3", "W4", "W5", "W6"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One line of the table.

    Parameters
    ----------
    name, title : str
    baseline : (str, str)
        Workload and contender whose time in the same round is 1.
    share : int
        What the baseline's time is divided by before.
    most : float
        The highest ratio that meets the target.
    dvc : float or None
        How many times faster than dvc.
    may_lead : frozenset of str
        Rivals that may be faster.
    """

    name: str
    title: str
    baseline: tuple[str, str]
    share: int = 1
    most: float
    dvc: float | None = None
    may_lead: frozenset[str] = frozenset()

    @property
    def target(self) -> str:
        """The target in words."""
        of = "of W2's " if self.baseline[0] == "W2" != self.name else ""
        over = f" ÷ {self.share} cores" if self.share > 1 else ""
        more = f", dvc ≥ {self.dvc:g} ×" if self.dvc else ""
        return f"≤ {self.most:.3g} × {of}`{self.baseline[1]}`{over}{more}"


def all_workloads(*, files: int, large_bytes: int) -> list[Workload]:
    """Return the lines of the table in their order."""
    git = frozenset({"git"})
    tree = f"{files:,} × {FILE_BYTES // 1024} KiB"
    mib = 1 << 20
    each = large_bytes // 2
    return [
        Workload(
            name="W1",
            title=f"snapshot one file of {large_bytes / mib:,.4g} MiB",
            baseline=("W1", HashCopy.name),
            most=1.15,
        ),
        Workload(name="W2", title=f"snapshot {tree}", baseline=("W2", Copy.name), most=1.5, dvc=6),
        Workload(
            name="W3",
            title="again, unchanged",
            baseline=("W2", Copy.name),
            most=0.3,
            dvc=10,
            may_lead=git,
        ),
        Workload(
            name="W4",
            title="again, 10 files changed",
            baseline=("W2", Copy.name),
            most=0.5,
            dvc=10,
            may_lead=git,
        ),
        Workload(name="W5", title=f"verify {tree}", baseline=("W5", OpenSsl.name), most=1.2),
        Workload(
            name="W5L",
            title=f"verify {LARGE_VERIFIED} × {each / mib:,.4g} MiB",
            baseline=("W5L", OneOpenSsl.name),
            share=CORES,
            most=1 / 0.9,
        ),
        Workload(name="W6", title=f"restore {tree}", baseline=("W6", Copy.name), most=1.3),
    ]


class Fresh:
    """A family whose contenders begin every round in new folders; nothing is deleted between.

    Parameters
    ----------
    name : str
    bench : Bench
    material : Material
    workloads : sequence of str
    kinds : sequence of type
        The contenders.
    controls : tuple
        See `rounds.Family`.
    """

    def __init__(
        self,
        name: str,
        bench: Bench,
        material: Material,
        *,
        workloads: Sequence[str],
        kinds: Sequence[type[Contender]],
        controls: tuple[tuple[str, str], ...],
    ) -> None:
        self.name = name
        self.controls = controls
        self._bench = bench
        self._material = material
        self._workloads = workloads
        self._kinds = kinds

    def play(self, number: int) -> Round:
        """Prepare everybody, let them do the workloads, and try their verifications once."""
        folder = self._bench.work / self.name / f"round-{number + 1}"
        contenders = [
            kind(self._bench, folder / kind.__name__, self._material) for kind in self._kinds
        ]
        try:
            unready = prepared(contenders)
            found = play_steps(contenders, self._workloads, number=number, unready=unready)
            if number == 0:
                try_verifications(contenders, found)
        finally:
            for one in contenders:
                one.close()
        return found


class Standing:
    """Verification of large files: frozen once, for verifying them writes nothing.

    Parameters
    ----------
    bench : Bench
    material : Material
    """

    name = "large-verify"
    controls = (("W5L", OneOpenSsl.name),)

    def __init__(self, bench: Bench, material: Material) -> None:
        folder = bench.work / self.name
        ours = NbVersion(bench, folder / NbVersion.__name__, material)
        openssl = OneOpenSsl(bench, folder / OneOpenSsl.__name__, material)
        self._unready = prepared([ours, openssl])
        froze = play_steps([ours], ["W1"], number=0, unready=self._unready)
        self._unready |= froze.problems.get("W1", {})
        warm = WarmKernel(bench, ours.home, material)
        self._contenders: list[Contender] = [ours, warm, openssl]
        if ours.name in self._unready:
            self._unready[warm.name] = self._unready[ours.name]
        else:
            warm.start()

    def play(self, number: int) -> Round:
        """Verify."""
        return play_steps(self._contenders, ["W5L"], number=number, unready=self._unready)

    def close(self) -> None:
        """End the warm process."""
        for one in self._contenders:
            one.close()


def bytes_of_trees(*, rivals: int, files: int) -> int:
    """Estimate what one round of W2 to W6 leaves on the disk.

    nbversion has a source, a store and a restored copy, the warm one two of them, cp three; a
    rival's store may round each file up to two blocks.
    """
    return files * (FILE_BYTES + 512) * (8 + 4 * rivals)


def bytes_of_large(*, rivals: int, large_bytes: int) -> int:
    """Estimate what one round of W1 leaves on the disk; the source is shared."""
    return int(large_bytes * (2 + 1.4 * rivals))


def rehearse(bench: Bench, rivals: Sequence[type[Rival]]) -> None:
    """Let everybody do everything once on ten files, so that none is compiled while it is timed."""
    say("rehearsing")
    tree_family(bench, files=10, names=TREE, rivals=rivals, name="rehearsal").play(0)


def large_family(bench: Bench, *, size_bytes: int, rivals: Sequence[type[Rival]]) -> Fresh:
    """Return W1."""
    return Fresh(
        "large",
        bench,
        _large(bench, "large-source", size_bytes=size_bytes, count=1),
        workloads=["W1"],
        kinds=[NbVersion, HashCopy, *rivals],
        controls=(("W1", HashCopy.name),),
    )


def large_verify_family(bench: Bench, *, size_bytes: int) -> Standing:
    """Return W5 on large files."""
    return Standing(
        bench,
        _large(bench, "large-verify-source", size_bytes=size_bytes // 2, count=LARGE_VERIFIED),
    )


def tree_family(
    bench: Bench,
    *,
    files: int,
    names: Collection[str],
    rivals: Sequence[type[Rival]],
    name: str = "tree",
) -> Fresh:
    """Return those of W2 to W6 that are wanted; all of them stand on W2."""
    chosen = [one for one in sorted(TREE) if one == "W2" or one in names]
    return Fresh(
        name,
        bench,
        ManyFiles(files),
        workloads=chosen,
        kinds=[NbVersion, WarmKernel, Copy, OpenSsl, *rivals],
        controls=tuple((one, Copy.name) for one in ("W2", "W6") if one in chosen),
    )


def _large(bench: Bench, folder: str, *, size_bytes: int, count: int) -> LargeFiles:
    say(f"writing {count} × {size_bytes:,} bytes")
    return LargeFiles(bench.work / folder, size_bytes=size_bytes, count=count)
