"""An emulator of ActiveCampaign's API v3: contacts, custom fields, lists, tags, bulk import."""
