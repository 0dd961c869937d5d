"""Plugins of third parties: real packages on the path, with entry points in their dist-info."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hepflow.errors import PluginError
from hepflow.registry.manager import Registry

TOOLS = """
from hepflow import hookimpl

@hookimpl
def hepflow_tools():
    return {{{tools}}}
"""
TOOL = '''"""Tools."""
from hepflow import Property, Tool

raise_if_imported = {flag}

class MyTool(Tool):
    """Do what is needed
    in two lines.

    More text.
    """

    Cut = Property(1, "a cut")

Alias = MyTool
'''


def test_built_ins_come_through_the_same_door():
    registry = Registry()
    assert {"core", "streams", "tau"} <= set(registry.plugins)
    assert registry.plugins["core"].distribution == "hepflow"
    assert "hepflow_readers" in registry.plugins["core"].hooks
    assert {"NtupleStream", "MxAODStream"} <= set(registry.names("streams"))
    assert {"processes"} <= set(registry.names("executors"))
    assert registry.names("tools")["TauSelection"].plugin == "tau"


def test_a_third_party_brings_a_tool(install):
    install(
        "thirdparty_a",
        TOOLS.format(tools='"MyTool": "thirdparty_a.tools.mine:MyTool"'),
        entry="mine",
        version="2.5",
        files={"tools/__init__.py": "raise RuntimeError('imported')", "tools/mine.py": TOOL.format(flag="1 / 1")},
    )
    registry = Registry()
    plugin = registry.plugins["mine"]
    assert (plugin.distribution, plugin.version, plugin.blocked) == ("hepflow-thirdparty_a", "2.5", False)
    assert plugin.hooks == ("hepflow_tools",)
    named = registry.names("tools")["MyTool"]
    assert (named.plugin, named.target) == ("mine", "thirdparty_a.tools.mine:MyTool")
    assert named.summary() == "Do what is needed in two lines.", "read without importing, not even the packages above"
    assert "thirdparty_a.tools" not in sys.modules
    with pytest.raises(
        PluginError, match=r"MyTool cannot be imported from[\s\S]*RuntimeError: imported[\s\S]*plugin mine"
    ):
        registry.load("tools", "MyTool")


def test_what_a_third_party_brings_is_imported_when_it_is_used(install):
    install(
        "thirdparty_b",
        TOOLS.format(tools='"MyTool": "thirdparty_b.tools:MyTool", "Other": "thirdparty_b.tools:Alias"'),
        files={"tools.py": TOOL.format(flag="0")},
    )
    registry = Registry()
    assert list(registry.names("tools")) == sorted(registry.names("tools"))
    assert "thirdparty_b.tools" not in sys.modules
    tool = registry.load("tools", "MyTool")("t", Cut=3)
    assert (tool.name, tool.Cut) == ("t", 3)
    assert registry.names("tools")["Other"].summary() == ""


def test_folders_of_a_third_party(install, tmp_path):
    text = f"""
from pathlib import Path
from hepflow import hookimpl

@hookimpl
def hepflow_joboptions():
    return [Path({str(tmp_path)!r})]
"""
    install("thirdparty_c", text)
    assert tmp_path in Registry().folders("joboptions")
    assert tmp_path not in Registry(["thirdparty_c"]).folders("joboptions")


# ── switched off ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plugin_can_be_switched_off(install):
    install("thirdparty_d", "raise RuntimeError('should not be imported')", entry="broken")
    registry = Registry(["broken", "tau"])
    assert registry.plugins["broken"].blocked
    assert registry.plugins["broken"].distribution == "hepflow-thirdparty_d"
    assert "TauSelection" not in registry.names("tools")
    assert "thirdparty_d.plugin" not in sys.modules
    with pytest.raises(PluginError, match="there is no tool 'TauSelection'"):
        registry.load("tools", "TauSelection")


def test_switching_off_what_is_not_there():
    with pytest.raises(PluginError, match=r"-p no:stream: there is no plugin 'stream'[\s\S]*did you mean 'streams'"):
        Registry(["stream"])


# ── wrong ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_tools_with_one_name_name_both_distributions(install):
    install("thirdparty_e", TOOLS.format(tools='"TauSelection": "thirdparty_e.x:Y"'), entry="rival")
    registry = Registry()
    with pytest.raises(PluginError, match="two plugins bring tools called 'TauSelection'") as caught:
        registry.names("tools")
    assert "rival (hepflow-thirdparty_e)" in caught.value.message
    assert "tau (hepflow)" in caught.value.message
    assert "-p no:" in caught.value.hint
    assert "NtupleStream" in registry.names("streams")
    assert Registry(["rival"]).names("tools")["TauSelection"].plugin == "tau"


def test_two_plugins_with_one_name_name_both_distributions(install):
    install("thirdparty_f", "", entry="mine", version="1.0")
    install("thirdparty_g", "", entry="mine", version="2.0")
    with pytest.raises(PluginError, match="two plugins are called 'mine'") as caught:
        Registry()
    assert "hepflow-thirdparty_f 1.0" in caught.value.message
    assert "hepflow-thirdparty_g 2.0" in caught.value.message


@pytest.mark.parametrize(
    ("package", "plugin", "message"),
    [
        ("thirdparty_h", "import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("thirdparty_i", "def (", "SyntaxError"),
        ("thirdparty_j", "raise RuntimeError('no licence')", "RuntimeError: no licence"),
        (
            "thirdparty_k",
            "from hepflow import hookimpl\n@hookimpl\ndef hepflow_toolz():\n    return {}\n",
            "unknown hook 'hepflow_toolz'",
        ),
        (
            "thirdparty_l",
            "from hepflow import hookimpl\n@hookimpl\ndef hepflow_tools(surprise):\n    return {}\n",
            "surprise",
        ),
    ],
)
def test_a_plugin_that_cannot_be_loaded(install, package, plugin, message):
    install(package, plugin, entry="mine")
    with pytest.raises(PluginError, match=f"the plugin 'mine' of hepflow-{package} cannot be loaded") as caught:
        Registry()
    assert message in caught.value.message
    assert "-p no:mine" in caught.value.hint
    assert Registry(["mine"]).names("tools")


@pytest.mark.parametrize(
    ("package", "body", "message"),
    [
        ("thirdparty_m", "return None", "must return names with import strings"),
        ("thirdparty_n", "return ['MyTool']", "must return names with import strings"),
        ("thirdparty_o", "return {'MyTool': 'package.module.MyTool'}", "must return names with import strings"),
        ("thirdparty_p", "return {'MyTool': object}", "must return names with import strings"),
        ("thirdparty_q", "raise ValueError('oh')", "failed: ValueError: oh"),
    ],
)
def test_a_hook_that_returns_something_else(install, package, body, message):
    install(package, f"from hepflow import hookimpl\n@hookimpl\ndef hepflow_tools():\n    {body}\n", entry="mine")
    with pytest.raises(PluginError, match=message) as caught:
        Registry().names("tools")
    assert f"hepflow_tools of the plugin mine (hepflow-{package})" in caught.value.message
    assert "-p no:mine" in caught.value.hint


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("thirdparty_r.gone:X", "No module named 'thirdparty_r.gone'"),
        ("thirdparty_r.plugin:X", "has no attribute 'X'"),
    ],
)
def test_what_is_named_but_not_there(install, target, message):
    install("thirdparty_r", TOOLS.format(tools=f'"MyTool": "{target}"'))
    named = Registry().names("tools")["MyTool"]
    assert named.summary() == ""
    with pytest.raises(PluginError, match=message) as caught:
        named.load()
    assert caught.value.where == "plugin thirdparty_r"


def test_unknown_names_tell_the_nearest():
    with pytest.raises(PluginError, match=r"there is no stream 'NtupelStream'[\s\S]*did you mean 'NtupleStream'"):
        Registry().load("streams", "NtupelStream")


def test_an_installed_plugin_is_listed_and_described_on_the_command_line(install):
    site = install(
        "thirdparty_s",
        TOOLS.format(tools='"MyTool": "thirdparty_s.tools:MyTool"'),
        files={"tools.py": TOOL.format(flag="0")},
    )

    def hepflow(*words):
        command = [sys.executable, "-c", "from hepflow.cli import main; main()", *words]
        environment = {"PYTHONPATH": str(site), "PATH": "", "COLUMNS": "200"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)
        return done.stdout + done.stderr

    assert "Do what is needed in two lines." in hepflow("list", "tools")
    assert "a cut" in hepflow("describe", "MyTool")
