"""What a release is, how it is signed, and how anybody finds out whether a folder or this program is one."""
