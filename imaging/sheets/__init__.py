"""Images for a person's eyes: small pictures, histograms, and the one page that holds them."""
