"""Keys that never leave a token: a smart card, an HSM or SoftHSM2, reached by PKCS#11."""
