"""Pixels that may show who the patient is: judged, searched, blanked, and shown to a person before they are used.

Policy first (`policy`), then what is known of devices (`regions`), then the search for text (`text_search`);
`stored` is the only place where pixel data is copied into a clean file. A search that finds nothing proves
nothing: `review` puts every image before a person's eyes.
"""
