"""What a release is made of: advisories looked up, wheels, images, the list of what is inside, signatures."""
