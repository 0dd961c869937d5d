"""The command line. This module holds the table of commands and nothing heavy: ``hepflow --help`` imports click and
the table.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from hepflow.errors import HepflowError

__all__ = ["COMMANDS", "main", "run_file"]

# those without an import string are brought by plugins that ship with hepflow
COMMANDS = {
    "run": ("hepflow.cli.run:run_command", "Run a job-option file."),
    "plan": ("hepflow.cli.run:plan_command", "Show what a job would do: work units, tools, columns, outputs."),
    "list": ("hepflow.cli.list:list_command", "List tools, streams, jobs, samples, …"),
    "describe": (
        "hepflow.cli.describe:describe_command",
        "Explain a tool, stream, job, architecture, variable, …",
    ),
    "inspect": ("hepflow.cli.inspect:inspect_command", "Show what a file, a network or a training set holds."),
    "merge": ("hepflow.cli.merge:merge_command", "Join the numbered parts of an output."),
    "plot": ("", "Plot variables of a file, without a job-option file."),
    "report": ("", "Write the report of a run, one HTML page."),
    "compare": ("", "Compare runs: numbers, settings, figures with ratios."),
    "convert": ("hepflow.cli.convert:convert_command", "Convert a network to lwtnn JSON or ONNX."),
    "evaluate": ("hepflow.cli.evaluate:evaluate_command", "Evaluate a network on given cases."),
    "status": ("hepflow.cli.status:status_command", "Show the state of a run, and what to do next."),
    "work": ("hepflow.cli.work:work_command", "Do work units of a run: what batch jobs call."),
    "doctor": ("hepflow.cli.doctor:doctor_command", "Check the installation."),
}

# numpy and its kin would take all cores for every worker; who wants threads says so in the environment
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class _Commands(click.Group):
    """The table as a click group: a command is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the built-in commands in the order in which they are used."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command: a built-in one, or one that a plugin brings."""
        import importlib

        module, _, name = COMMANDS.get(cmd_name, ("", ""))[0].partition(":")
        if module:
            command: click.Command = getattr(importlib.import_module(module), name)
            return command
        from hepflow.registry.manager import registry

        found = registry().names("commands").get(cmd_name)
        return found.load() if found is not None else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of this name."""
        from hepflow.errors import nearest

        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(f"there is no command {name!r}; {nearest(name, COMMANDS, what='commands')}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="hepflow COMMAND --help explains a command; hepflow list commands shows those that plugins bring.",
)
@click.version_option(package_name="hepflow", message="hepflow %(version)s")
def hepflow() -> None:
    """Hadronic-tau analysis and its machine learning, from xAOD to performance plots."""


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit: 0 fine, 1 an explained error, 2 wrong usage, 130 interrupted, 143 terminated."""
    interrupted = 128 + signal.SIGINT

    def terminated(number: int, frame: FrameType | None) -> None:
        """Treat the end that a batch system or ``kill`` asks for as Ctrl-C: workers end, finished parts are kept."""
        nonlocal interrupted
        interrupted = 128 + number
        raise KeyboardInterrupt

    for name in _THREADS:
        os.environ.setdefault(name, "1")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # closed: what is opened next would take its place
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what the terminal cannot show (|η|, …) must not end a command
    signal.signal(signal.SIGTERM, terminated)
    arguments = [*(sys.argv[1:] if args is None else args)]  # list is a module here, once its command was imported
    try:
        _check_folder()
        sys.exit(hepflow.main(arguments, prog_name="hepflow", standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        if isinstance(stop.__cause__, EOFError):  # click takes it for the end of what is typed
            _show_failure(stop.__cause__, arguments)
        from hepflow.cli.console import show_interrupt

        show_interrupt()
        sys.exit(interrupted)
    except HepflowError as error:
        if "--debug" in arguments:
            raise
        from hepflow.cli.console import show_error

        show_error(error)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        _show_failure(error, arguments)


def _check_folder() -> None:
    """Raise HepflowError where the folder is gone that hepflow was started in."""
    try:
        os.getcwd()  # noqa: PTH109
    except OSError as error:
        raise HepflowError(
            f"the folder that hepflow is started in cannot be entered: {error.strerror}", hint="go to another one: cd"
        ) from None


def _show_failure(error: Exception, arguments: list[str]) -> NoReturn:
    """Show an error that hepflow does not know, and exit."""
    if "--debug" in arguments:
        raise error
    from hepflow.cli.console import show_error

    text = f"hepflow itself failed: {type(error).__name__}: {error}"
    show_error(HepflowError(text, hint="this is a bug of hepflow; --debug shows the traceback to report"))
    sys.exit(1)


def run_file(path: str) -> None:
    """Do what ``hepflow run`` does with a job-option file and the words behind it, and exit.

    The end of a job-option file that also runs as a script: ``if __name__ == "__main__": run_file(__file__)``.
    """
    import atexit

    from hepflow.job import remind

    atexit.unregister(remind)
    main(["run", path, *sys.argv[1:]])
