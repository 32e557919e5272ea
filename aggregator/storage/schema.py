"""The tables of a study's database, as steps from one version to the next; a step that was released never changes.

`place` is a round's number, 0 for the key exchange and -1 for the snapshot. `signed` and `header` are signed messages
as they came. `silo` 0 is the aggregator itself. Frames are files (`aggregator.storage.frame_files`); a row says
which frame of what is which file.
"""

from aggregator.storage.database import Step

KEYS, SNAPSHOT = 0, -1

STEPS: tuple[Step, ...] = (
    (
        """CREATE TABLE message (
            place INTEGER NOT NULL CHECK (place >= -1),
            kind TEXT NOT NULL,
            silo INTEGER NOT NULL CHECK (silo >= 0),
            signed BLOB NOT NULL,
            PRIMARY KEY (place, kind, silo)
        ) STRICT""",
        "CREATE INDEX message_newest ON message (kind, silo, place)",
        """CREATE TABLE frozen_set (
            place INTEGER NOT NULL CHECK (place > 0),
            name TEXT NOT NULL,
            members TEXT NOT NULL,
            PRIMARY KEY (place, name)
        ) STRICT""",
        """CREATE TABLE upload (
            place INTEGER NOT NULL CHECK (place > 0),
            silo INTEGER NOT NULL CHECK (silo > 0),
            header BLOB NOT NULL,
            seeds BLOB,
            complete INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),
            PRIMARY KEY (place, silo)
        ) STRICT""",
        """CREATE TABLE upload_frame (
            place INTEGER NOT NULL,
            silo INTEGER NOT NULL,
            number INTEGER NOT NULL CHECK (number >= 0),
            sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
            PRIMARY KEY (place, silo, number),
            FOREIGN KEY (place, silo) REFERENCES upload ON DELETE CASCADE
        ) STRICT""",
        "CREATE INDEX upload_frame_file ON upload_frame (sha256)",
        """CREATE TABLE sum_frame (
            place INTEGER NOT NULL CHECK (place = -1 OR place > 0),
            number INTEGER NOT NULL CHECK (number >= 0),
            sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
            PRIMARY KEY (place, number)
        ) STRICT""",
        "CREATE INDEX sum_frame_file ON sum_frame (sha256)",
        """CREATE VIEW frame AS
            SELECT place, sha256 FROM upload_frame UNION ALL SELECT place, sha256 FROM sum_frame""",
    ),
)
