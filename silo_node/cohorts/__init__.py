"""From the hospital's archive to a cohort: images are pulled, de-identified, looked at and ingested here."""
