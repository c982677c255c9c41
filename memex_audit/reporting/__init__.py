"""Results -> what people and machines read: terminal, JSON, Allure, pictures."""
