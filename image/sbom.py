#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sbom.py PACKAGES VERSION BINARY EPOCH: an SPDX 2.3 document. PACKAGES: a file of lines "name version arch"."""
import datetime
import hashlib
import json
import re
import sys
from pathlib import Path


def entry(name, version, purl, checksum=None):
    made = {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
    }
    if checksum:
        made["licenseDeclared"] = "Apache-2.0"
        made["checksums"] = [{"algorithm": "SHA256", "checksumValue": checksum}]
    return made


def main():
    packages, version, binary, epoch = sys.argv[1:]
    digest = hashlib.sha256(Path(binary).read_bytes()).hexdigest()
    found = [entry("reqtap", version, f"pkg:generic/reqtap@{version}", digest)]
    for line in sorted(Path(packages).read_text().splitlines()):
        name, release, arch = line.split()
        found.append(entry(name, release, f"pkg:deb/debian/{name}@{release}?arch={arch}"))
    if len(found) < 2:
        return "sbom: no packages in " + packages
    made = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    json.dump({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"reqtap-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/reqtap-{version}-{digest}",
        "creationInfo": {"created": made.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: reqtap-sbom"]},
        "packages": found,
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                           "relatedSpdxElement": "SPDXRef-reqtap"}]
        + [{"spdxElementId": "SPDXRef-reqtap", "relationshipType": "DEPENDS_ON", "relatedSpdxElement": p["SPDXID"]}
           for p in found[1:]],
    }, sys.stdout, indent=1)
    print()
    return 0


sys.exit(main())
