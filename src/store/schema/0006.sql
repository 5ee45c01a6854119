
-- Sixth shape: a body may be gone once all its deliveries were delivered, and those are not sent again.
-- The tables stay as they are; the triggers, with the views, are made anew.
