"""Which of our functions read bytes that are not their own, and by which target each is fuzzed, or why by none.

A reader is a function that calls one of `LOADERS`, imports safetensors' `load`, or has a name that says that it takes
bytes apart (`NAMED`). The list is made from the source; `test_readers` compares it with the tables here, so that a new
reader cannot be forgotten. What a library reads by itself (gRPC, TLS, HTTP, PKCS#11) is not seen.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("aggregator", "compliance", "deploy", "imaging", "privacy", "silo_node")
LOADERS = {
    *("DictReader", "FromString", "GzipFile", "Image.open", "MergeFromString", "ParseFromString", "ZipFile"),
    *("b64decode", "csv.reader", "dcmread", "decompressobj", "etree.parse", "from_buffer", "from_stream", "fromstring"),
    *("generate_frames", "json.load", "json.loads", "load_der_private_key", "load_der_public_key"),
    *("load_der_x509_certificate", "load_der_x509_csr", "load_pem_private_key", "load_pem_public_key"),
    *("load_pem_x509_certificate", "load_pem_x509_certificates", "load_pem_x509_csr", "model_validate_json"),
    *("np.frombuffer", "np.load", "read_dataset", "read_file_meta_info", "read_partial", "safe_open"),
    *("sqlite3.connect", "tarfile.open", "tomllib.loads", "unpack", "unpack_from", "urlsafe_b64decode"),
    *("validate_json", "yaml.compose", "yaml.load", "yaml.safe_load"),
}
"""Calls, by their last name or their last two."""
SAFETENSORS = "from safetensors.numpy import load"
NAMED = re.compile(r"_?(decode|parse|from_bytes|unpack|open_signed)")
_BYTES = re.compile(r"\b(bytes|bytearray|memoryview)\b")
SELF = "reads what this program itself made, in memory or in a process of its own"
OWN = "reads a file of the program itself"
SEALED = "reads what opened under the site's own key, with authenticated encryption"
TOOL = "is a tool of whoever makes a release, for what it made itself"
KEY = "reads the private key of whoever runs it, whose passphrase they give"
AGAIN = "reads again what another reader has checked"

FUZZED_BY: dict[str, str] = {
    "aggregator.storage.backup:_reading": "backup-list",
    "aggregator.storage.database:Database.__init__": "study-database",
    "aggregator.renewals:_parsed": "renewal-request",
    "aggregator.storage.store:RoundStore.get_set": "study-database",
    "compliance.changes:read": "report",
    "compliance.checks.folder:read_record": "report",
    "compliance.checks.ledgers:previous": "report",
    "compliance.publication:publish": "report",
    "compliance.publication:read": "report",
    "compliance.signing:_decode": "report-signature",
    "compliance.signing:_open": "report-signature",
    "compliance.signing:verify": "report-signature",
    "deploy.sandbox.draft:make": "sandbox-template",
    "deploy.sandbox.draft:planned_lot": "sandbox-table",
    "deploy.sandbox.wrap:_grey": "sandbox-picture",
    "deploy.sandbox.wrap:_read": "sandbox-table",
    "imaging.bundles.definition:_parsed": "bundle",
    "imaging.deidentification.pixels.review:decide": "review-index",
    "imaging.deidentification.pixels.stored:_unchanged": "deidentified",
    "imaging.deidentification.profile:read": "profile",
    "imaging.deidentification.pseudonyms:PseudonymTable.__init__": "pseudonym-table",
    "imaging.foreign:is_deflated": "dicom-volume",
    "imaging.labels.opening:read": "segmentation",
    "imaging.labels.table:read": "label-table",
    "imaging.networks.pretrained:read": "starting-weights",
    "imaging.sources.catalogue:_open": "catalogue",
    "imaging.sources.dicomweb:_received": "dicomweb-fetch",
    "imaging.sources.folder:_referenced": "dicomdir",
    "imaging.sources.header:_inflated": "dicom-header",
    "imaging.sources.header:_parse": "dicom-header",
    "imaging.sources.listing:read": "listing",
    "imaging.sources.pulling:_open": "pull-state",
    "imaging.volumes.codecs:_bits": "segmentation",
    "imaging.volumes.codecs:_elsewhere": "dicom-volume",
    "imaging.volumes.headers:parse": "dicom-volume",
    "imaging.volumes.isolation:DecodingProcess._ask": "dicom-volume",
    "imaging.volumes.isolation:DecodingProcess.decode": "dicom-volume",
    "imaging.volumes.nifti:stored": "nifti",
    "imaging.volumes.pictures:_pixels": "png",
    "imaging.volumes.streams:_codestream_start": "dicom-volume",
    "imaging.volumes.streams:_stated_shape": "dicom-volume",
    "imaging.volumes.streams:check": "dicom-volume",
    "privacy.channel.admission:check_request": "admission-request",
    "privacy.channel.certificate:parse": "certificate",
    "privacy.channel.key_file:_opened": "key-file",
    "privacy.channel.one_way.records:read_head": "one-way-head",
    "privacy.channel.renewal:take": "renewal-answer",
    "privacy.channel.roster_statement:open_signed": "roster-statement",
    "privacy.configuration:parse": "admission-request",
    "privacy.he.frames:decode": "ciphertext-frame",
    "privacy.he.keyholder:KeyHolder.from_secret": "key-material",
    "privacy.ledger.heads.cosigner:stated": "cosigner-statement",
    "privacy.ledger.details:SideStore.get": "entry-details",
    "privacy.ledger.files:_json": "ledger-entries",
    "privacy.ledger.line:_body": "ledger-line",
    "privacy.ledger.line:parse": "ledger-line",
    "privacy.ledger.heads.note:decode": "ledger-proof",
    "privacy.ledger.readings:get": "noted-reading",
    "privacy.ledger.facts.reporting:read_report": "report",
    "privacy.operations.live:read": "live-status",
    "privacy.operations.handshake:certificate": "shown-certificate",
    "privacy.release.manifest:_parsed": "release-list",
    "privacy.secagg.held_shares:HeldShares.from_bytes": "round-secrets",
    "privacy.secagg.keygrant:KeyMaterial.from_bytes": "key-material",
    "privacy.secagg.round_keys:RoundSecrets.from_bytes": "round-secrets",
    "privacy.wire.bodies:decode_signed": "call-signed",
    "privacy.wire.bodies:open_signed": "body-key-request",
    "privacy.wire.convert:decode_arrived": "call-arrived",
    "privacy.wire.convert:decode_await": "call-await",
    "privacy.wire.convert:decode_board": "call-board",
    "privacy.wire.convert:decode_frame": "call-frame",
    "privacy.wire.convert:decode_frame_request": "call-frame-request",
    "privacy.wire.convert:decode_head_query": "call-head-query",
    "privacy.wire.convert:decode_part": "call-part-header",
    "privacy.wire.convert:decode_snapshot_download": "call-snapshot-download",
    "privacy.wire.convert:decode_snapshot_frame": "call-snapshot-frame",
    "privacy.wire.convert:decode_sum_request": "call-sum-request",
    "privacy.wire.exchange:decode_given": "call-heads-given",
    "privacy.wire.exchange:decode_shown": "call-heads-shown",
    "privacy.wire.health:decode_check": "call-health",
    "privacy.wire.health:decode_status": "call-health",
    "privacy.wire.health:decode_list": "call-health",
    "privacy.wire.parsing:parse": "call-signed",
    "privacy.wire.renewals:decode_answer": "call-renewed",
    "privacy.wire.renewals:decode_request": "call-renewal",
    "silo_node.approvals.approval:read": "approval",
    "silo_node.egress.log:_sent": "egress-log",
    "silo_node.operations.stopping:_read": "stop-request",
    "silo_node.rounds.global_model:GlobalModel.load": "stored-model",
    "silo_node.rounds.snapshot:model_of": "snapshot-state",
    "silo_node.state:StateDirectory.proxy_authorities": "proxy-authorities",
    "silo_node.witnessing.known_heads:Known.load": "known-heads",
    "silo_node.witnessing.seen_heads:SeenHeads._load": "seen-heads",
}

BESIDE: dict[str, str] = {
    "compliance.render:html": "report",
    "imaging.deidentification.walk:clean_dataset": "deidentified",
    "imaging.labels.contours:read": "contours",
    "imaging.labels.measurements:_values": "structured-report",
    "imaging.labels.segmentation:_affine": "segmentation",
    "imaging.sources.dicomweb:_values": "dicomweb-search",
    "imaging.sources.dimse:_text": "dimse-answer",
    "imaging.sources.multipart:parts": "dicomweb-fetch",
    "privacy.channel.one_way.records:read_fresh": "one-way-fresh",
    "privacy.channel.one_way.records:read_status": "one-way-status",
    "privacy.channel.status:from_rpc": "call-ended",
}
"""Functions on the way of bytes that a library has read, which their targets must reach too."""

NOT_FUZZED: dict[str, str] = {
    "aggregator.storage.backup:_copy_database": "copies a database that is in use; `backup-database` reads the copy",
    "compliance.app:export": AGAIN,
    "compliance.exports.dicom_audit:_schema": OWN,
    "compliance.ledgers:_event": AGAIN,
    "compliance.schema:_validator": OWN,
    "compliance.signing:Signer.load": KEY,
    "compliance.verify:_again": AGAIN,
    "deploy.consortium.app:_state": SELF,
    "deploy.consortium.starting:model": SELF,
    "deploy.release.advisories:Answer.read": TOOL,
    "deploy.release.bundle:_codes_of_wheel": TOOL,
    "deploy.release.bundle:_pack": TOOL,
    "deploy.release.image:read": TOOL,
    "deploy.release.sbom:_metadata": TOOL,
    "deploy.release.wheelhouse:_project": TOOL,
    "deploy.release.wheelhouse:lock": TOOL,
    "deploy.sandbox.progress:SiloProgress.read": SELF,
    "deploy.sandbox.wrap:_link_dicom": "takes any error for a file that ingestion will judge",
    "imaging.bundles.writing:exported": SELF,
    "imaging.cohorts.cohort:Cohort.open": SEALED,
    "imaging.cohorts.storage:ImageStore.read": SEALED,
    "imaging.cohorts.storage:unpack": SEALED,
    "imaging.deidentification.data.build_ps315:": TOOL,
    "imaging.deidentification.pixels.regions:device_rules": OWN,
    "imaging.deidentification.pixels.text_search:_read": SELF,
    "imaging.deidentification.table:published": OWN,
    "imaging.volumes.cache:_opened": SEALED,
    "imaging.volumes.decoder:_decoded": "runs in the process that `dicom-volume` asks",
    "imaging.volumes.decoder:_serve": "runs in the process that `dicom-volume` asks",
    "imaging.volumes.manifest:Manifest.parse": SEALED,
    "privacy.channel.roster_statement:dump": SELF,
    "privacy.dp.audit.guessing:coins": SELF,
    "privacy.he.keyholder:Encryption.in_order.made": SELF,
    "privacy.he.keyholder:KeyHolder.open_words.opened": SELF,
    "privacy.he.keyholder:zero_bytes": SELF,
    "privacy.he.seal:SealFile._read": SELF,
    "privacy.he.seal:SealFile._uncompressed": SELF,
    "privacy.he.workers:Workers._result": SELF,
    "privacy.he.workers:Workers._run": SELF,
    "privacy.he.workers:_flat": SELF,
    "privacy.ledger.entry:make": SELF,
    "privacy.ledger.line:_same": AGAIN,
    "privacy.randomness:SecureStream.words": SELF,
    "privacy.secagg.prg:_redraw": SELF,
    "privacy.secagg.prg:_rows": SELF,
    "silo_node.budgets.second_person:load": KEY,
}


def found() -> Iterator[str]:
    """Every reader, as `module:function`."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.name.endswith("_pb2.py"):
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                yield from sorted({f"{module}:{name}" for name in _in(ast.parse(path.read_text("utf-8")), ())})


def kinds() -> Iterator[str]:
    """Every model that `privacy.configuration` is asked to read a file as."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text("utf-8")
            if "configuration" in text:
                for call in ast.walk(ast.parse(text)):
                    if isinstance(call, ast.Call) and _names(call.func)[0] in ("load", "parse") and len(call.args) > 1:
                        kind = call.args[1]
                        if isinstance(kind, ast.Name) and kind.id[0].isupper():
                            yield kind.id


def _in(node: ast.AST, within: tuple[str, ...]) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        inner = within
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = (*within, child.name)
        if isinstance(child, ast.FunctionDef) and NAMED.match(child.name) and _takes_bytes(child):
            yield ".".join(inner)
        if isinstance(child, ast.Call) and LOADERS & {*_names(child.func)}:
            yield ".".join(within)
        if isinstance(child, ast.ImportFrom) and within and ast.unparse(child).startswith(SAFETENSORS):
            yield ".".join(within)
        yield from _in(child, inner)


def _takes_bytes(function: ast.FunctionDef) -> bool:
    taken = (argument.annotation for argument in (*function.args.args, *function.args.kwonlyargs))
    return any(_BYTES.search(ast.unparse(kind)) for kind in taken if kind is not None)


def _names(called: ast.expr) -> tuple[str, str]:
    """The last name of what is called, and the last two."""
    parts = ast.unparse(called).split(".")
    return parts[-1], ".".join(parts[-2:])
