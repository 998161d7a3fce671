"""Error boundary of the command line: errors become messages and exit codes here and nowhere else."""

from __future__ import annotations

import tempfile
import traceback

from typer.main import get_command

from hugflow.cli import app
from hugflow.cli.wiring import Shell
from hugflow.model.errors import ExitCode, HugflowError
from hugflow.report.json_output import document, error_json, explanation


def run(arguments: list[str], shell: Shell) -> int:
    """Run a command and return its exit code; no exception leaves it."""
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    # a command that fails before it has read its settings must print JSON all the same
    shell.output.json = "--json" in arguments
    shell.output.in_actions = shell.environ.get("GITHUB_ACTIONS") == "true"
    try:
        get_command(app)(args=arguments, prog_name="hugflow", obj=shell)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else ExitCode.FAILED
    except HugflowError as error:
        return _explain(shell, command, error)
    except KeyboardInterrupt:
        shell.output.complain("hugflow: interrupted")
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary: an error that nobody expected is reported as a bug
        return _report_bug(shell, command, error)
    return ExitCode.DONE


def _explain(shell: Shell, command: str, error: HugflowError) -> int:
    shell.output.complain(explanation(error))
    shell.output.document(document(command, error.exit_code, error=error_json(error)))
    return error.exit_code


def _report_bug(shell: Shell, command: str, error: Exception) -> int:
    text = shell.output.redactor.text("".join(traceback.format_exception(error)))
    with tempfile.NamedTemporaryFile("w", prefix="hugflow-", suffix=".log", delete=False, encoding="utf-8") as file:
        file.write(text)
    shell.output.complain(
        f"hugflow: an error that should not happen: {type(error).__name__}: {error}\n"
        f"  Nothing that was done is lost. Please report it, with the file {file.name}"
    )
    described = {"doing": "running the command", "problem": str(error), "fix": file.name, "reason": "unexpected"}
    shell.output.document(document(command, ExitCode.BUG, error=described))
    return ExitCode.BUG
