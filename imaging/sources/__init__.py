"""Where images come from: folders, DICOMDIRs, lists of pictures, and archives by DIMSE or DICOMweb.

A remote archive only ever fills a local folder; everything after that reads local files. Nothing here
decodes a pixel or de-identifies: what lies in these folders and indexes still names patients.
"""
