"""The texts of results in several languages: every sentence stands once in English, and once in each table."""
