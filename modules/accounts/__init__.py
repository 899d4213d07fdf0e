"""Accounts: users, roles, tokens, sessions, tiers, and the ledger of what everybody has used."""
