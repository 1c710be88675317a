"""The `tfvertical` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tfvertical import _console
from tfvertical._console import say
from tfvertical.errors import ConfigError, DataError, Interrupted, PresetError, TfverticalError, nearest_paths

INTERRUPTED = 130
SAVED = 75  # EX_TEMPFAIL: try again

app = typer.Typer(
    name="tfvertical",
    help="Adapt a pretrained backbone to your labelled data, measure it, export it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
presets = typer.Typer(help="Pretrained backbones: list, fetch, where they lie.", no_args_is_help=True)
app.add_typer(presets, name="presets")
cache = typer.Typer(help="Outputs of frozen parts that are kept between runs: list, clear.", no_args_is_help=True)
app.add_typer(cache, name="cache")

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what stands there.")]
Bundle = Annotated[Path, typer.Argument(help="Folder that `train` or `task.save` wrote.")]
TextColumn = Annotated[
    str | None,
    typer.Option("--text", help="Column of the text; of pairs two, `first,second` (default: as in training)."),
]
Reading = Annotated[
    list[str] | None,
    typer.Option(
        "--data-option",
        metavar="KEY=VALUE",
        help="How the data are read: encoding=latin-1, policy=skip; may be given again (default: as in training).",
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        import tfvertical

        print(f"tfvertical {tfvertical.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where in the code an error arose.")] = False,
) -> None: ...


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="A table, a CoNLL or SQuAD file, or a folder of pictures.")],
    out: Annotated[Path, typer.Option("--out", help="The run file to write.")] = Path("run.yaml"),
    text: Annotated[
        str | None, typer.Option("--text", help="Column of the text; of pairs two, `first,second` (default: found).")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of the label (default: found).")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a run file for your data, to look through and to train."""
    from tfvertical import drafting
    from tfvertical.data._advice import as_columns
    from tfvertical.reporting.terminal import printable

    with _fixes_told(as_columns):
        seen = drafting.draft(data, out, text=text or (), label=label, overwrite=overwrite)
    for line in seen:
        print(printable(line))
    say(f"\n{out} is written: look it through. Next:")
    say(f"  {drafting.command(out)}")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML run file; see examples/.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundle, the report and the exports.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Write over the file: training.epochs=5.")
    ] = None,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--fresh",
            show_default=False,
            help="Only go on with an unfinished run, or begin anew though one stands there.",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", help="Where an unfinished run is kept: a folder, gs://…; default OUT.unfinished."
        ),
    ] = None,
) -> None:
    """Train what a run file describes; save, report and export it.

    A run that was interrupted goes on where it stood, when the same command is given again.
    """
    from tfvertical import config as run_files

    with _console.quiet():  # a preset with a typing error makes it look among KerasHub's own
        run = run_files.load(config, settings or ())
    from tfvertical import distribution, jobs
    from tfvertical.data._advice import as_settings

    with _fixes_told(as_settings):
        report = jobs.train(run, out, overwrite=overwrite, resume=resume, checkpoint=checkpoint, say=say)
    if not distribution.saves():
        say("\nTrained together with the first worker, which measures and saves.")
        return
    if report is not None:
        print(report)
    _next(out)


@app.command()
def sweep(
    config: Annotated[Path, typer.Argument(help="YAML run file with a `sweep:` section.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for sweep.json, and the best one's bundle and exports.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Write over the file: training.epochs=5.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Try many heads, rates and seeds over one cache; save the best."""
    from tfvertical import sweeps
    from tfvertical.data._advice import as_settings

    with _fixes_told(as_settings):
        found = sweeps.run(config, out, settings or (), overwrite, say)
    print(found)
    if found.report is not None:
        print(f"\nThe best, on the test data:\n{found.report}")
    _next(out)


def _next(out: Path) -> None:
    say(f"\nEverything lies in {out}. Next:")
    say(f"  tfvertical predict {shlex.quote(str(out))} INPUT")


def _reading(settings: Sequence[str] | None, *, labelled: bool = True) -> dict[str, Any]:
    """`--data-option`s as keywords of reading; without labels there are fewer."""
    if not settings:
        return {}
    from tfvertical import config

    return config.reading(settings, labelled=labelled)


@contextlib.contextmanager
def _fixes_told(change: Callable[[DataError], DataError]) -> Iterator[None]:
    """Let what cannot be read be told as this command takes it, where `data.load`'s keywords would help."""
    try:
        yield
    except DataError as error:
        raise change(error) from error


@contextlib.contextmanager
def _fixes_by_flags() -> Iterator[None]:
    """`_fixes_told` with flags, of which each keyword has one."""
    from tfvertical.data._advice import as_flags

    with _fixes_told(as_flags):
        yield


@app.command()
def evaluate(
    bundle: Bundle,
    data: Annotated[str, typer.Argument(help="Labelled data: a table, a folder of pictures, or tfds:NAME.")],
    text: TextColumn = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of the label (default: as in training).")] = None,
    reading: Reading = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report as JSON, Markdown and HTML.")] = None,
    examples: Annotated[
        bool, typer.Option("--examples/--no-examples", help="List the worst errors with their text or picture.")
    ] = True,
    overwrite: Overwrite = False,
) -> None:
    """Measure a bundle on labelled data."""
    from tfvertical.files import refuse_filled

    if out is not None:
        refuse_filled(out, overwrite=overwrite)
    from tfvertical import jobs

    with _fixes_by_flags():
        report = jobs.evaluate(
            bundle, data, text=text, label=label, reading=_reading(reading), examples=examples, say=say
        )
    if out is not None:
        report.save(out, overwrite=overwrite)
    print(report)
    if out is not None:
        say(f"\nThe report lies in {out}; open {out / 'report.html'}")


@app.command()
def predict(
    bundle: Bundle,
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT", help="Text file (a line each), JSONL, CSV, folder of pictures, tfds:NAME; - for stdin."
        ),
    ],
    text: TextColumn = None,
    reading: Reading = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Rows held in memory at a time.")] = 256,
    top: Annotated[
        int | None, typer.Option("--top", metavar="K", min=1, help="Tell the K likeliest labels with their scores too.")
    ] = None,
    runner: Annotated[
        str,
        typer.Option("--runner", help="here; or beam, for a pattern of files and more data than one machine holds."),
    ] = "here",
    out: Annotated[Path | None, typer.Option("--out", help="With beam: folder for predictions and quarantine.")] = None,
    options: Annotated[
        list[str] | None, typer.Option("--beam-option", metavar="OPTION", help="Beam's own: --runner=FlinkRunner.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Predict labels; one JSON object a line on stdout, with id, label and score (and top, of --top); or id and
    labels, entities, numbers or answer."""
    if runner != "here":
        if top is not None:
            raise ConfigError("--top would do nothing with --runner.", fix="leave one of them out")
        _predict_by_beam(runner, bundle, source, out, text, reading, batch, options or (), overwrite)
        return
    given = {"--out": out, "--beam-option": options, "--overwrite": overwrite}
    if lost := [name for name, value in given.items() if value]:
        raise ConfigError(
            f"{' and '.join(lost)} would do nothing: predictions go to standard output.",
            fix="--runner beam; or leave it out, and write > FILE",
        )
    if source != "-" and not source.startswith("tfds:") and not os.path.exists(source):
        raise DataError(
            f"There is no file or folder {source!r} to predict from.",
            nearest=nearest_paths(source),
            fix="name another, or - to read lines from stdin",
        )
    from tfvertical import jobs

    faults = 0
    rows = sys.stdin.buffer if source == "-" else source
    own = _reading(reading, labelled=False)
    with _fixes_by_flags():
        for line in jobs.predict(bundle, rows, text=text, reading=own, batch=batch, top=top):
            faults += "error" in line
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
            sys.stdout.flush()
    if faults:
        say(f"{faults} rows could not be used; they stand in the output with their `error`.")
        raise typer.Exit(1)


def _predict_by_beam(
    runner: str,
    bundle: Path,
    source: str,
    out: Path | None,
    text: str | None,
    reading: Sequence[str] | None,
    batch: int,
    options: Sequence[str],
    overwrite: bool,
) -> None:
    if runner != "beam":
        fix = "--runner beam; with --beam-option --runner=NAME for one of Beam's own"
        raise ConfigError(f"There is no runner {runner!r}.", expected="here or beam", fix=fix)
    if out is None:
        raise ConfigError("Beam writes files, and there is no folder for them.", fix="--out FOLDER")
    from tfvertical import beam

    own = _reading(reading, labelled=False)
    with _fixes_by_flags():
        found = beam.predict(
            bundle, source, out, text=text, reading=own, batch=batch, options=options, overwrite=overwrite
        )
    say(f"{found['read']:,} rows of {found['files']:,} files: {found['predicted']:,} predicted, in {out}.")
    held = {"files could not be read to their end": "broken", "rows could not be used": "quarantined"}
    told = [f"{found[name]:,} {what}" for what, name in held.items() if found[name]]
    if told:
        say(f"{' and '.join(told)}; they stand in {out}/quarantine-*.jsonl with their error.")
        raise typer.Exit(1)


@app.command()
def export(
    bundle: Bundle,
    format: Annotated[str, typer.Option("--format", help="litert (TFLite), saved_model or onnx.")] = "litert",
    precision: Annotated[
        str,
        typer.Option("--precision", help="float32; for litert also float16, dynamic, int8, or auto: the best by kind."),
    ] = "float32",
    data: Annotated[
        str | None, typer.Option("--data", help="Labelled data to measure what a lower precision loses.")
    ] = None,
    calibration: Annotated[
        str | None, typer.Option("--calibration", help="Training data for int8 (default: a part of --data).")
    ] = None,
    text: TextColumn = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of the label (default: as in training).")] = None,
    reading: Reading = None,
    max_drop: Annotated[
        float | None,
        typer.Option("--max-drop", min=0, max=1, help="Accuracy that a lower precision may lose (default: 0.01)."),
    ] = None,
    length: Annotated[
        list[int] | None, typer.Option("--length", min=1, help="Tokens that a litert file takes; may be given again.")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", help="What a litert file gives: scores, or an embedding for search.")
    ] = "scores",
    overwrite: Overwrite = False,
) -> None:
    """Export a bundle and check the result against Keras."""
    from tfvertical.registry import Registry

    Registry("export").module(format)
    from tfvertical import jobs

    options: dict[str, Any] = {} if max_drop is None else {"max_drop": max_drop}
    if length:
        options["length"] = length if len(length) > 1 else length[0]
    if output != "scores":
        options["output"] = output
    with _fixes_by_flags():
        written = jobs.export(
            bundle,
            format=format,
            precision=precision,
            overwrite=overwrite,
            source=data,
            calibration=calibration,
            text=text,
            label=label,
            reading=_reading(reading),
            say=say,
            **options,
        )
    print(written)


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="A .tflite file.", exists=True, dir_okay=False)],
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor with its type and size.")] = False,
) -> None:
    """Show what a TFLite file holds: inputs, outputs, operators, sizes, metadata, quantization."""
    from tfvertical.runtime.contents import contents
    from tfvertical.runtime.listing import lines

    print("\n".join(lines(contents(model), tensors=tensors)))


@presets.command("list")
def presets_list(
    hub: Annotated[bool, typer.Option("--hub", help="KerasHub's own too, which need a model hub.")] = False,
) -> None:
    """The presets that need no model hub."""
    if hub:
        _console.load_tensorflow()
    from tfvertical import backbones

    for preset in backbones.presets(hub=hub):
        print(f"{preset.name:<40} {preset.kind:<6} {preset.where}, {'fetched' if preset.cached else 'not fetched yet'}")
    if not hub:
        say("`presets list --hub` shows KerasHub's too, which need a model hub.")


@presets.command("fetch")
def presets_fetch(name: Annotated[str, typer.Argument(help="A name from `presets list`.")]) -> None:
    """Fetch a preset's weights into the cache, checked; usable offline afterwards."""
    from tfvertical import backbones

    if name not in {preset.name for preset in backbones.presets(hub=False)}:
        _console.load_tensorflow()  # KerasHub's own
    print(backbones.fetch(name))


@presets.command("path")
def presets_path(name: Annotated[str, typer.Argument(help="A name from `presets list`.")]) -> None:
    """Where a fetched preset lies."""
    from tfvertical import backbones

    with _console.quiet():
        found = backbones.path(name)
    if found is None:
        raise PresetError(f"{name} has not been fetched.", fix=f"tfvertical presets fetch {name}")
    print(found)


@cache.command("list")
def cache_list() -> None:
    """What is kept: the beginning of its key, size, rows, last use, preset and data."""
    from tfvertical.store import Store
    from tfvertical.storing import listing

    store = Store()
    entries = store.entries()
    if entries:
        print("\n".join(listing.table(entries)))
    total = sum(entry.bytes for entry in entries)
    say(f"{len(entries)} kept in {store.folder}, {listing.size(total)} of at most {listing.size(store.limit)}.")


@cache.command("clear")
def cache_clear(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY", help="How keys begin, from `cache list` (default: all).")
    ] = None,
    days: Annotated[
        float | None, typer.Option("--unused-for", metavar="DAYS", min=0, help="Only what was not used for so long.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove what is kept. It is computed anew where it is needed."""
    from tfvertical.store import Store
    from tfvertical.storing import listing

    store, seconds = Store(), None if days is None else days * 86400
    entries = listing.chosen(store.entries(), keys) if keys else store.entries()
    doomed = listing.unused(entries, seconds)
    if not doomed:
        store.remove([])  # what killed runs left, all the same
        print("Nothing to remove.")
        return
    amount = listing.size(sum(entry.bytes for entry in doomed))
    if not yes and not _console.agreed(f"Remove {len(doomed)} of {len(store.entries())} entries, {amount}?"):
        say("Nothing was removed.")
        return
    freed = store.remove([entry.key for entry in doomed], seconds)
    print(f"Removed {len(doomed)}; {listing.size(freed)} freed.")


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="A list of findings, for programs.")] = False,
) -> None:
    """What this machine and installation can do, what stands in the way, and what to do about it."""
    from dataclasses import asdict

    from tfvertical import doctor as room
    from tfvertical.reporting.terminal import printable

    say("Importing TensorFlow in a process of its own …")
    found = room.examine(room.look())
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], ensure_ascii=False, indent=2))
    else:
        for finding in found:
            print(printable(f"{finding.state:8}{finding.what}: {finding.found}"))
            if finding.fix:
                print(printable(f"{'':8}fix: {finding.fix}"))
    if any(finding.state == "problem" for finding in found):
        raise typer.Exit(1)


@app.command()
def demo() -> None:
    """The main job on real weights and real data: adapt, measure against baselines, save, export, run."""
    _console.load_tensorflow()
    from tfvertical import demo as job

    job.main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for a clear mistake, 130 for Ctrl-C and SIGTERM.

    1 for rows that failed, or problems that `doctor` found; 75 (`EX_TEMPFAIL`) for a run that a signal ended and whose
    position is saved: the same command goes on with it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    traceback = "--traceback" in given
    given = [argument for argument in given if argument != "--traceback"]  # taken anywhere on the line
    try:
        with _console.termination(), _console.plain_warnings():
            code = int(app(args=given, prog_name="tfvertical", standalone_mode=False) or 0)
        sys.stdout.flush()
        if code == INTERRUPTED:  # typer turns Ctrl-C into it
            say("\nInterrupted.")
        return code
    except Interrupted as error:
        say(f"\n{error}")
        return SAVED if error.folder else INTERRUPTED
    except TfverticalError as error:
        if traceback:
            raise
        say(f"Error: {error}")
        return 2
    except BrokenPipeError:  # `tfvertical predict … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (KeyboardInterrupt, typer.Abort):
        say("\nInterrupted.")
        return INTERRUPTED
    except Exception as error:
        if not hasattr(error, "show"):  # click's own mistakes in usage
            raise
        error.show()
        return int(getattr(error, "exit_code", 2))
