"""Who speaks: identities, certificates, TLS, authorisation by role and the signed-bytes envelope."""
