"""What programs enter of themselves: code, line, certificates, audits and reports, and cohorts that are closed."""
