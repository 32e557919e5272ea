"""The silo's line to the aggregator: its calls and their patience, resumed downloads, a renewed certificate."""
